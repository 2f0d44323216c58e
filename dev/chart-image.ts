// The product's image, under the name that the chart gives it: clusters of development have it, so that default values work there.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { repository } from './paths.ts'

const chartFile = (name: string): unknown =>
  parse(readFileSync(join(repository, 'charts/backup-operator', name), 'utf8'))

const { image } = chartFile('values.yaml') as { readonly image: { readonly repository: string } }
const { appVersion } = chartFile('Chart.yaml') as { readonly appVersion: string }

export const productImage = `${image.repository}:${appVersion}`
