/** Of a policy without `strategy.snapshot`: the schema's defaults apply only where the block is. In seconds (docs/design.md R31). */
export const snapshotDefaults = { cutTimeoutSeconds: 600, readyTimeoutSeconds: 86_400 } as const
