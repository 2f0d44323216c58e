// The command lines of one control plane. Relative paths are in its run directory, where each program starts.

// etcd listens on sockets in its working directory, which are gone with it and reachable for nobody else.
const etcdSocket = 'unix://client:1'
export const etcdFlags = [
  '--data-dir=etcd-data',
  `--listen-client-urls=${etcdSocket}`,
  `--advertise-client-urls=${etcdSocket}`,
  '--listen-peer-urls=unix://peer:1',
  '--initial-advertise-peer-urls=unix://peer:1',
  '--initial-cluster=default=unix://peer:1',
  '--unsafe-no-fsync',
  '--log-level=warn',
]

export const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
}

type ApiServerOptions = { readonly auditLog?: string | undefined; readonly featureGates?: string | undefined }

export function apiServerFlags(port: number, { auditLog, featureGates }: ApiServerOptions): readonly string[] {
  return [
    `--etcd-servers=${etcdSocket}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--external-hostname=127.0.0.1',
    `--secure-port=${port}`,
    // No Endpoints object may hold a loopback address, and nobody here looks for the `kubernetes` Service's.
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--tls-cert-file=apiserver.crt',
    '--tls-private-key-file=apiserver.key',
    '--client-ca-file=ca.crt',
    '--service-account-key-file=sa.key',
    '--service-account-signing-key-file=sa.key',
    '--service-account-issuer=https://kubernetes.default.svc',
    '--authorization-mode=Node,RBAC',
    '--allow-privileged=true',
    // Beyond the defaults (ValidatingAdmissionPolicy, PodSecurity, ServiceAccount, ResourceQuota, …): OpenShift has it,
    // and it refuses ownerReferences with blockOwnerDeletion to those who may not set finalizers.
    '--enable-admission-plugins=OwnerReferencesPermissionEnforcement',
    ...(featureGates ? [`--feature-gates=${featureGates}`] : []),
    ...(auditLog
      ? [
          '--audit-policy-file=audit-policy.json',
          `--audit-log-path=${auditLog}`,
          '--audit-log-mode=blocking',
          // In MB: never a second file, which who counts calls would not read.
          '--audit-log-maxsize=100000',
        ]
      : []),
  ]
}

export function controllerManagerFlags(kubeconfig: string): readonly string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    '--secure-port=0',
    '--leader-elect=false',
    '--use-service-account-credentials=true',
    '--service-account-private-key-file=sa.key',
    '--root-ca-file=ca.crt',
    '--kube-api-qps=100',
    '--kube-api-burst=200',
  ]
}
