import type { Job, Pod } from '../../api/kubernetes.ts'

type Condition = NonNullable<NonNullable<(Job | Pod)['status']>['conditions']>[number]

/** The condition of that type, where it is true. */
export function trueCondition({ status }: Pick<Job | Pod, 'status'>, type: string): Condition | undefined {
  return status?.conditions?.find(each => each.type === type && each.status === 'True')
}
