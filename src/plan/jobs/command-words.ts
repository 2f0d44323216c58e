// What a command has said itself, out of what its container has logged.

/** How lines begin that our helpers (src/mover/shell) write, and the shell that runs them there. The mover says the same, and better. */
const helpers = ['backup-init: ', 'backup-artifact: ', 'restore-init: ', 'backup-feed: ', '/.backup/']

/** The end of a container's log without the lines of our helpers; the first line may have lost its beginning. */
export function commandWords(log: string): string {
  return log
    .split('\n')
    .filter(line => !helpers.some(helper => line.startsWith(helper)))
    .join('\n')
}
