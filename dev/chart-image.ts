// The product's image, under the name that the chart gives it: clusters of development have it, so that default values work there.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { repository } from './paths.ts'

function chartFile<T>(name: string): T {
  return parse(readFileSync(join(repository, 'charts/backup-operator', name), 'utf8')) as T
}

const { image } = chartFile<{ readonly image: { readonly repository: string } }>('values.yaml')
const { appVersion } = chartFile<{ readonly appVersion: string }>('Chart.yaml')

export const productImage = `${image.repository}:${appVersion}`
