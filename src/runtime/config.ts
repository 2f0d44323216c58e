export type ClientConfig = {
  /** `https://host:port`, IPv6 hosts in brackets. */
  readonly url: string
  readonly ca?: string
  readonly caFile?: string
  readonly token?: string
  readonly tokenFile?: string
  /** PEM. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string }
}

export declare function inClusterConfig(options?: {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly directory?: string
}): ClientConfig
