#!/usr/bin/env node
// The program: one image, one subcommand a role. The only file that knows everybody; each role loads only what it needs.
import { setFlagsFromString } from 'node:v8'
import { Command, InvalidArgumentError, Option } from 'commander'
import { logLevels, type LogLevel } from './runtime/log.ts'

const program = new Command('backup-operator')
  .description('Backs up stateful applications on Kubernetes.')
  .showHelpAfterError('(add --help for what there is)')

program
  .command('operator')
  .description('watch BackupPolicies and Backups, and do what they ask for')
  .requiredOption('--image <reference>', 'image of the mover pods: the one that this program runs from')
  .option('--image-pull-policy <policy>', 'imagePullPolicy of the mover pods')
  .option('--image-pull-secret <name...>', 'pull secrets of the mover pods, looked up in the namespace of each policy')
  .option('--cluster-id <id>', 'name of this cluster in the bucket; default: the UID of the namespace kube-system')
  .requiredOption('--namespace <name>', "the operator's own namespace, for the leader lease")
  .requiredOption('--identity <name>', 'unique name of this process, for example the pod name')
  .option('--metrics-port <port>', 'port of /metrics', portNumber, 8080)
  .option('--health-port <port>', 'port of /healthz and /readyz', portNumber, 8081)
  .option('--workers <number>', 'policies that are worked on at once', wholeNumber, 4)
  .addOption(new Option('--log-level <level>', 'least level that is logged').choices(logLevels).default('info'))
  .action(operator)

program
  .command('mover')
  .description('do the one task that the pod was made for; started by the operator, not by people')
  .action(async () => (await import('./mover/command.ts')).moverCommand())

type OperatorFlags = {
  readonly image: string
  readonly imagePullPolicy?: string
  readonly imagePullSecret?: readonly string[]
  readonly clusterId?: string
  readonly namespace: string
  readonly identity: string
  readonly metricsPort: number
  readonly healthPort: number
  readonly workers: number
  readonly logLevel: LogLevel
}

async function operator(flags: OperatorFlags): Promise<void> {
  // Of what an operator holds most is caches, which stay, and what a change or a scrape makes is garbage at once: V8's own sizes for both
  // generations would double its memory, and one optimising compiler is enough (docs/decisions/0014-the-image-holds-a-bundle.md).
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--optimize-for-size')
  setFlagsFromString('--no-maglev')
  const [{ createLog }, { inClusterConfig }, { listenForShutdown }, { runOperator }] = await Promise.all([
    import('./runtime/log.ts'),
    import('./runtime/client/config.ts'),
    import('./runtime/shutdown.ts'),
    import('./controllers/operator.ts'),
  ])
  const log = createLog({ level: flags.logLevel })
  const shutdown = listenForShutdown({ log })
  const {
    image,
    imagePullPolicy,
    imagePullSecret = [],
    clusterId,
    namespace,
    identity,
    metricsPort,
    healthPort,
    workers,
  } = flags
  const settings = { image, imagePullPolicy, imagePullSecrets: imagePullSecret, clusterId }
  const outcome = await runOperator(
    { config: inClusterConfig(), settings, namespace, identity, metricsPort, healthPort, workers, log },
    shutdown.signal,
  )
  if (outcome === 'lost') shutdown.exit(1, 'the leader lease was lost; another replica goes on')
  shutdown.exit(0, 'stopped')
}

function portNumber(text: string): number {
  const port = wholeNumber(text)
  if (port > 65535) throw new InvalidArgumentError('use a port, 0 to 65535')
  return port
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('use a whole number')
  return Number(text)
}

void program.parseAsync()
