#!/usr/bin/env bash
# Makes the cluster that CI runs the stories on: kind with csi-driver-host-path, the snapshot controller, and the images
# that the stories name. Needs Docker, Go, kubectl and git; the stories need npm and Helm, too.
# usage: [NODE_IMAGE=kindest/node:…] e2e/kind.sh KUBECONFIG_FILE
set -euo pipefail
KUBECONFIG=$(realpath -m "${1:?usage: e2e/kind.sh KUBECONFIG_FILE}")
export KUBECONFIG
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=backup-operator
kind=v0.33.0 snapshotter=v8.7.0 hostpath=v1.18.0 hostpath_commit=cc78ee78ae23908c9e0607df2fe09c7ecfa52597
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Images under the names that they have in the local cluster, so that the stories need not know where they run.
product=$(sed -n 's/^  repository: //p' charts/backup-operator/values.yaml):$(sed -n 's/^appVersion: //p' charts/backup-operator/Chart.yaml)
docker build --tag "$product" .
docker pull postgres:15-bookworm
docker tag postgres:15-bookworm localhost/postgres:15
docker pull mariadb:10.11
docker tag mariadb:10.11 localhost/mariadb:10.11
node=$(dev/node.sh)
"$node/node" tools/build.ts minio versitygw helm
docker pull busybox:1.37.0-musl
docker create --name "$name-busybox" busybox:1.37.0-musl
docker cp "$name-busybox:/bin/busybox" "$work/busybox"
docker rm "$name-busybox"
cp "${XDG_CACHE_HOME:-$HOME/.cache}"/backup-operator/tools/{minio-*/minio,versitygw-*/versitygw} /etc/ssl/certs/ca-certificates.crt "$work/"
mv "$work/ca-certificates.crt" "$work/certificates"
docker build --tag localhost/minio:1 --file dev/images/minio/Containerfile "$work"
docker build --tag localhost/versitygw:1 --file dev/images/versitygw/Containerfile "$work"

GOBIN=$work go install "sigs.k8s.io/kind@$kind"
"$work/kind" create cluster --name "$name" ${NODE_IMAGE:+--image "$NODE_IMAGE"} --wait 180s
for image in "$product" localhost/{postgres:15,mariadb:10.11,minio:1,versitygw:1}; do
  "$work/kind" load docker-image --name "$name" "$image"
done

upstream=https://github.com/kubernetes-csi
kubectl apply --kustomize "$upstream/external-snapshotter//client/config/crd?ref=$snapshotter"
kubectl apply --kustomize "$upstream/external-snapshotter//deploy/kubernetes/snapshot-controller?ref=$snapshotter"
git clone --quiet --depth 1 --branch "$hostpath" "$upstream/csi-driver-host-path" "$work/driver"
[ "$(git -C "$work/driver" rev-parse HEAD)" = "$hostpath_commit" ] || { echo "the tag $hostpath was moved" >&2; exit 1; }
"$work/driver/deploy/kubernetes-latest/deploy.sh"
kubectl apply --filename "$work/driver/examples/csi-storageclass.yaml"

# The stories take the defaults of the cluster.
kubectl annotate storageclass standard storageclass.kubernetes.io/is-default-class=false --overwrite
kubectl annotate storageclass csi-hostpath-sc storageclass.kubernetes.io/is-default-class=true --overwrite
kubectl annotate volumesnapshotclass csi-hostpath-snapclass snapshot.storage.kubernetes.io/is-default-class=true --overwrite
kubectl --namespace kube-system rollout status deployment/snapshot-controller --timeout 180s

# A story makes the snapshotter wait for a Secret.
kubectl create clusterrole snapshot-secrets --verb=get,list --resource=secrets
kubectl create clusterrolebinding snapshot-secrets --clusterrole=snapshot-secrets --serviceaccount=default:csi-hostpathplugin-sa
