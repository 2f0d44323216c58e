# The one image of backup-operator: operator, mover and their shell helpers.
# Public bases by default. The local cluster has no registry and passes its own; what they hold already is not installed.
ARG NODE_IMAGE=node:26.10.0-bookworm-slim
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Both secrets are optional: settings for a private package registry, and certificates of a proxy in between.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=certificates,target=/run/certificates.pem \
    NODE_EXTRA_CA_CERTS=/run/certificates.pem npm ci --omit=dev --ignore-scripts \
 && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

FROM ${BASE_IMAGE}
# busybox-static goes into the containers of other images, and must run without their libraries. Node needs libatomic1.
RUN test -x /bin/busybox && test -e /etc/ssl/certs/ca-certificates.crt && test -e /usr/share/zoneinfo/Etc/UTC \
 && ls /usr/lib/*/libatomic.so.1 \
 || { apt-get update \
   && apt-get install -y --no-install-recommends busybox-static ca-certificates libatomic1 tzdata \
   && rm -rf /var/lib/apt/lists/*; }
WORKDIR /app
ENV NODE_ENV=production
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
COPY --from=dependencies /usr/local/bin/node /usr/local/bin/node
COPY --from=dependencies /app/node_modules /app/node_modules
COPY package.json /app/
# Last, because it changes most. Files belong to root: the process cannot change its own program.
COPY src /app/src
# What Node makes of the sources at start, made once: a mover then starts sooner and needs less memory. The cache is found by the
# user that runs the program, so that user fills it; afterwards it belongs to root like the rest.
ENV NODE_COMPILE_CACHE=/app/compile-cache
RUN install -d -o 65532 -g 65532 /app/compile-cache
USER 65532:65532
RUN ["/usr/local/bin/node", "/app/src/main.ts", "--help"]
RUN ["/usr/local/bin/node", "--input-type=module", "--eval", "for (const part of ['mover/command', 'mover/mover', 'mover/backup/backup', 'mover/tasks/probe', 'mover/tasks/catalog-page', 'storage/s3/s3', 'runtime/log', 'runtime/config', 'runtime/shutdown', 'controllers/operator']) await import('/app/src/' + part + '.ts')"]
USER root
RUN chown -R root:root /app/compile-cache && chmod -R a+rX /app/compile-cache
USER 65532:65532
