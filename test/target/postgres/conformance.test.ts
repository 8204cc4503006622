import { targetConformance } from '../../conformance/target.ts';
import { sharedServer } from '../../servers/shared.ts';
import { secondary } from './secondary.ts';

const server = sharedServer();

targetConformance('postgres', async () => secondary(await server.database()));
