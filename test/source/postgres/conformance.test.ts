import { sourceConformance } from '../../conformance/source.ts';
import { sharedServer } from '../../servers/shared.ts';
import { primary } from './primary.ts';

const server = sharedServer();

sourceConformance('postgres', async () => primary(await server.database()));
