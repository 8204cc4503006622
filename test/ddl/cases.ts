import type { Case } from './case.ts';
import { laterCases } from './later-cases.ts';
import { objectCases } from './object-cases.ts';
import { tableCases } from './table-cases.ts';

/** They follow one another in one database: what one made, a later one may change. */
export const ddlCases: readonly Case[] = [...tableCases, ...objectCases, ...laterCases];
