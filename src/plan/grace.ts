/** A pipeline may create a Backup a little before what it needs: its policy, or the CRDs of snapshots. Seconds. */
export const graceSeconds = 60
