import { testKilledRestores } from './mariadb-killed.ts'

testKilledRestores(23, 'a restore of MariaDB over a database that is killed at some of its calls')
