/** Who this mover is: from the downward API. */
import { moverEnvironment } from '../api/mover/pod.ts'
import { MoverFailure } from './failure.ts'

export interface MoverIdentity {
  /** Name of the Job. */
  readonly run: string
  readonly jobUid: string
  /** UID of the pod. */
  readonly attempt: string
}

export type Environment = Readonly<Record<string, string | undefined>>

/** @throws MoverFailure InvalidTask that names the variable. */
export function identityOf(environment: Environment): MoverIdentity {
  return {
    run: required(environment, moverEnvironment.run),
    jobUid: required(environment, moverEnvironment.jobUid),
    attempt: required(environment, moverEnvironment.attempt),
  }
}

export function required(environment: Environment, name: string): string {
  const value = environment[name]
  if (value) return value
  throw new MoverFailure(
    'InvalidTask',
    `the environment variable ${name} is not set: the pod was not made by this operator`,
  )
}
