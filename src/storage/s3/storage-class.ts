/** Storage classes whose objects must be brought back before they can be read. */

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html; GLACIER_IR answers at once. */
const archives: readonly (string | undefined)[] = ['GLACIER', 'DEEP_ARCHIVE']

/** Of an object of INTELLIGENT_TIERING only a look at it tells (`ArchiveStatus`). */
export function archivedByClass(storageClass: string | undefined): true | 'perhaps' | undefined {
  if (storageClass === 'INTELLIGENT_TIERING') return 'perhaps'
  return archives.includes(storageClass) ? true : undefined
}
