// The programs of the cluster: their command lines and configuration files.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { goToolDirectory, type GoToolName } from '../go-tools.ts'
import { auditLogPrefix, logDirectory, runDirectory } from '../paths.ts'
import {
  cgroupName,
  clusterDnsAddress,
  containerdRoot,
  containerdSocket,
  csiDriverName,
  csiDriverSource,
  csiSocket,
  kubeletRoot,
  nodeAddress,
  nodeName,
  pkiFile,
  podRange,
  pool,
  serviceRange,
} from './layout.ts'
import { kubeconfigOf } from './pki.ts'

const tool = (name: GoToolName, program: string) => join(goToolDirectory(name), program)
const kubernetes = (program: string) => tool('kubernetes', program)
const configFile = (name: string) => join(runDirectory, name)

export const kubectlProgram = kubernetes('kubectl')

// Sidecars end on purpose when the driver goes away, and count on the kubelet to start them again. So does the kubelet, by systemd,
// when containerd answers and its CRI plugin has not come up yet ("server is not initialized yet").
const restarting = ['bash', '-c', 'while :; do "$@"; sleep 0.5; done', 'restarting']

/** Every component by name, as the command line that runs it. */
export function components(): Readonly<Record<string, readonly string[]>> {
  const etcd = 'http://127.0.0.1:2379'
  const sidecar = [
    `--kubeconfig=${kubeconfigOf('csi')}`,
    '--kube-api-qps=100',
    '--kube-api-burst=200',
    // Injected failures are retried soon: the defaults double from 1 s to 5 min.
    '--retry-interval-start=500ms',
    '--retry-interval-max=5s',
  ]
  const withDriver = [`--csi-address=${csiSocket}`, '--extra-create-metadata', '--timeout=60s']
  return {
    etcd: [
      tool('etcd', 'etcd'),
      `--data-dir=${join(runDirectory, 'etcd')}`,
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      '--listen-peer-urls=http://127.0.0.1:2380',
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
    'kube-apiserver': [
      kubernetes('kube-apiserver'),
      `--etcd-servers=${etcd}`,
      `--advertise-address=${nodeAddress}`,
      '--secure-port=6443',
      `--tls-cert-file=${pkiFile('apiserver.crt')}`,
      `--tls-private-key-file=${pkiFile('apiserver.key')}`,
      `--client-ca-file=${pkiFile('ca.crt')}`,
      `--service-cluster-ip-range=${serviceRange}`,
      `--service-account-key-file=${pkiFile('sa.key')}`,
      `--service-account-signing-key-file=${pkiFile('sa.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged=true',
      // The default, the node's name, would be looked up in DNS for `logs` and `exec`.
      '--kubelet-preferred-address-types=InternalIP',
      `--kubelet-client-certificate=${pkiFile('apiserver-client.crt')}`,
      `--kubelet-client-key=${pkiFile('apiserver-client.key')}`,
      `--kubelet-certificate-authority=${pkiFile('ca.crt')}`,
      `--audit-policy-file=${configFile('audit.yaml')}`,
      `--audit-log-path=${join(logDirectory, auditLogPrefix)}.log`,
      '--audit-log-maxsize=100', // MB, then a second file; older ones go
      '--audit-log-maxbackup=1',
    ],
    'kube-controller-manager': [
      kubernetes('kube-controller-manager'),
      `--kubeconfig=${kubeconfigOf('controller-manager')}`,
      '--leader-elect=false',
      '--use-service-account-credentials=true',
      `--service-account-private-key-file=${pkiFile('sa.key')}`,
      `--root-ca-file=${pkiFile('ca.crt')}`,
      `--cluster-cidr=${podRange}`,
      `--cluster-signing-cert-file=${pkiFile('ca.crt')}`,
      `--cluster-signing-key-file=${pkiFile('ca.key')}`,
      '--concurrent-cron-job-syncs=10',
      '--concurrent-job-syncs=10',
      '--pvclaimbinder-sync-period=2s',
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    ],
    'kube-scheduler': [
      kubernetes('kube-scheduler'),
      `--kubeconfig=${kubeconfigOf('scheduler')}`,
      '--leader-elect=false',
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    ],
    containerd: ['containerd', '--config', configFile('containerd.toml')],
    kubelet: [
      ...restarting,
      kubernetes('kubelet'),
      `--config=${configFile('kubelet.yaml')}`,
      `--kubeconfig=${kubeconfigOf('kubelet')}`,
      `--root-dir=${kubeletRoot}`,
      `--hostname-override=${nodeName}`,
      `--node-ip=${nodeAddress}`,
    ],
    'kube-proxy': [kubernetes('kube-proxy'), `--config=${configFile('proxy.yaml')}`, `--hostname-override=${nodeName}`],
    coredns: [tool('coredns', 'coredns'), '-conf', configFile('Corefile')],
    'csi-driver': [
      process.execPath,
      join(csiDriverSource, 'driver.ts'),
      `--node=${nodeName}`,
      `--pool=${pool}`,
      `--kubelet-root=${kubeletRoot}`,
      `--driver=${csiDriverName}`,
    ],
    'snapshot-controller': [...restarting, tool('snapshotter', 'snapshot-controller'), ...sidecar],
    'csi-snapshotter': [...restarting, tool('snapshotter', 'csi-snapshotter'), ...sidecar, ...withDriver],
    'csi-provisioner': [...restarting, tool('provisioner', 'csi-provisioner'), ...sidecar, ...withDriver],
  }
}

/** Writes the configuration files that the command lines name. */
export async function writeConfiguration(): Promise<void> {
  const files: Readonly<Record<string, string>> = {
    'kubelet.yaml': json(kubelet),
    'proxy.yaml': json(proxy),
    'containerd.toml': containerd,
    'cni.conflist': json(cni),
    Corefile: corefile,
    'audit.yaml': json(audit),
  }
  await Promise.all(Object.entries(files).map(([name, content]) => writeFile(configFile(name), content)))
}

function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
}

/** What programs in pods asked for, without bodies: their rights are compared with it. The cluster's own controllers are left out. */
const audit = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', userGroups: ['system:serviceaccounts:kube-system'] },
    { level: 'Metadata', userGroups: ['system:serviceaccounts'] },
    { level: 'None' },
  ],
}

const kubelet = {
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  failCgroupV1: false, // many machines still mount cgroup v1 (hybrid); the kubelet refuses it by default
  failSwapOn: false,
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${cgroupName}`,
  oomScoreAdj: 0, // the default, -999, needs CAP_SYS_RESOURCE
  containerRuntimeEndpoint: `unix://${containerdSocket}`,
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: pkiFile('ca.crt') },
  },
  authorization: { mode: 'Webhook' },
  tlsCertFile: pkiFile('kubelet.crt'),
  tlsPrivateKeyFile: pkiFile('kubelet.key'),
  clusterDomain: 'cluster.local',
  clusterDNS: [clusterDnsAddress],
  resolvConf: '/dev/null',
  evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  imageGCHighThresholdPercent: 100, // images cannot be pulled again, so none may be collected
  maxPods: 200,
  kubeAPIQPS: 100,
  kubeAPIBurst: 200,
  eventRecordQPS: 0,
  serializeImagePulls: false,
  syncFrequency: '10s',
  nodeStatusUpdateFrequency: '5s',
  volumePluginDir: `${kubeletRoot}/volume-plugins`,
  shutdownGracePeriod: '0s',
}

const proxy = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: 'iptables',
  clientConnection: { kubeconfig: kubeconfigOf('proxy') },
  clusterCIDR: podRange,
  conntrack: { maxPerCore: 0, min: 0 }, // its sysctls are not namespaced
  iptables: { minSyncPeriod: '100ms' },
  oomScoreAdj: 0,
}

const cni = {
  cniVersion: '0.4.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: { type: 'host-local', ranges: [[{ subnet: podRange }]], routes: [{ dst: '0.0.0.0/0' }] },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
}

// restrict_oom_score_adj: without CAP_SYS_RESOURCE runc fails with "can't get final child's PID from pipe: EOF".
const containerd = `version = 2
root = "${containerdRoot}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "${containerdSocket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
`

// No cache: a test sees a new Service at once.
const corefile = `.:53 {
  bind ${clusterDnsAddress}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfigOf('coredns')}
    ttl 1
  }
}
`
