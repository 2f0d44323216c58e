// A mover as a process of its own, with the places of a test instead of those of a pod, and its clock so many ms ahead:
// SHARED TERMINATION_LOG [AHEAD]
import { moverCommand } from '../src/mover/command.ts'

const [shared, terminationLog, ahead = '0'] = process.argv.slice(2)
await moverCommand({ shared, terminationLog, now: () => Date.now() + Number(ahead) })
