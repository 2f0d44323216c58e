// A mover as a process of its own, with the places of a test instead of those of a pod, and its clock so many ms ahead. Through
// commander like the program: what that takes counts in the mover's memory.
import { Command } from 'commander'
import { moverCommand } from '../../src/mover/command.ts'

void new Command()
  .arguments('<shared> <terminationLog> [ahead]')
  .action((shared: string, terminationLog: string, ahead = '0') =>
    moverCommand({ shared, terminationLog, now: () => Date.now() + Number(ahead) }),
  )
  .parseAsync()
