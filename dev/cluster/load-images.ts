// usage, inside the node's sandbox: load-images.ts IMAGE_FILES_AS_JSON; prints the names that were imported
import { type ImageFile, loadImages } from './image-store.ts'

const images = JSON.parse(process.argv[2] ?? '') as ImageFile[]
console.log((await loadImages(images)).join(' '))
