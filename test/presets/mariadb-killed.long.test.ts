import { testKilledRestores } from './mariadb-killed.ts'

testKilledRestores(1, 'a restore of MariaDB over a database that is killed at any of its calls')
