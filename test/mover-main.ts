// A mover as a process of its own, with the places of a test instead of those of a pod: SHARED TERMINATION_LOG
import { moverCommand } from '../src/mover/command.ts'

const [shared, terminationLog] = process.argv.slice(2)
await moverCommand({ shared, terminationLog })
