// A database with all that MariaDB puts into one, below a name that is meant to break things, and the accounts that use it.
import type { MariaDbServer } from './mariadb-server.ts'

export const hostileName = 'we ird/ö=x\'y"z`b'
export const quotedName = '`we ird/ö=x\'y"z``b`'

/** The trigger `named` says the name of its database, as some tools write them. */
const shop = `
CREATE ROLE readers;
CREATE USER app@'%' IDENTIFIED BY 'a''pp';
CREATE USER 'jür\`g'@'localhost' IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3;
CREATE DATABASE ${quotedName} CHARACTER SET latin1 COLLATE latin1_german2_ci;
USE ${quotedName};
CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) CHARACTER SET utf8mb4);
CREATE TABLE \`child \`\`x\` (id INT PRIMARY KEY, p INT, b BLOB, t TEXT CHARACTER SET utf8mb4, d DATETIME(6), j JSON, n DECIMAL(20, 10),
  CONSTRAINT fk FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE, FOREIGN KEY (p) REFERENCES parent (id));
CREATE TABLE logged (m TEXT);
CREATE TABLE history (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING;
CREATE SEQUENCE numbers START 5;
CREATE TABLE numbered (id INT DEFAULT NEXTVAL(numbers), x INT, g INT AS (x * 2) VIRTUAL, y TEXT, FULLTEXT KEY f (y));
CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parent VALUES (1, 'a'), (2, 'b\\\\''\\n\`"ö😀');
INSERT INTO \`child \`\`x\` VALUES (1, 1, x'00090d0a1a5c2722', 'l1\\nl2\\r\\0end\\Z', '2026-01-02 03:04:05.678901', '{"a": [1]}', 1.5),
  (2, 2, NULL, '\\n-- Dump completed\\n', NULL, NULL, NULL);
INSERT INTO history VALUES (1, 1);
UPDATE history SET v = 2;
INSERT INTO numbered (x) VALUES (1), (2);
INSERT INTO parts VALUES (1), (2), (3);
CREATE DEFINER=app@'%' FUNCTION seven() RETURNS INT DETERMINISTIC SQL SECURITY INVOKER RETURN 7;
CREATE VIEW \`a view\` AS SELECT id, name FROM parent;
CREATE VIEW \`A\` AS SELECT v.id, seven() AS seven FROM \`a view\` AS v;
CREATE VIEW mixed AS SELECT p.id, z.Name FROM parent AS p JOIN mysql.time_zone_name AS z;
DELIMITER //
CREATE DEFINER=app@'%' TRIGGER stamped BEFORE INSERT ON parent FOR EACH ROW BEGIN SET NEW.name = CONCAT('t:\\\\', NEW.name); -- ;
END//
CREATE TRIGGER ${quotedName}.named BEFORE INSERT ON ${quotedName}.parent FOR EACH ROW FOLLOWS stamped INSERT INTO logged VALUES ('named')//
CREATE TRIGGER first_of_all BEFORE INSERT ON parent FOR EACH ROW PRECEDES stamped SET NEW.id = NEW.id//
CREATE PROCEDURE \`pro c\`(IN a INT)
BEGIN
  -- ; a comment
  SELECT a, 'x;;y//', "ö";
END//
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+03:00'//
CREATE EVENT often ON SCHEDULE EVERY 1 SECOND STARTS '2020-01-01 00:00:00' DO INSERT INTO "logged" VALUES ('ran\\in ')//
SET sql_mode = DEFAULT, time_zone = DEFAULT//
CREATE DEFINER=app@'%' EVENT \`late one\` ON SCHEDULE AT '2037-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'it''s' DO BEGIN DELETE FROM logged; END//
DELIMITER ;
GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE \`pro c\` TO app@'%';
GRANT EXECUTE ON FUNCTION seven TO 'jür\`g'@'localhost' WITH GRANT OPTION;
GRANT SELECT (id), UPDATE (name) ON parent TO readers;
GRANT SELECT, INSERT ON ${quotedName}.* TO app@'%';
GRANT PROCESS ON *.* TO app@'%';
GRANT readers TO app@'%';
`

/** The rows that the event writes every second are no part of what is compared. */
export async function makeHostileShop(server: MariaDbServer): Promise<void> {
  await server.sql(shop)
  await server.sql(`ALTER EVENT ${quotedName}.often DISABLE; DELETE FROM ${quotedName}.logged`)
}

/** What everybody may, and how they log in. */
export async function accountsOf(server: MariaDbServer): Promise<string> {
  const accounts = ["app@'%'", "'jür`g'@localhost"].flatMap(account => [
    `SHOW CREATE USER ${account};`,
    `SHOW GRANTS FOR ${account};`,
  ])
  return server.sql([...accounts, 'SHOW GRANTS FOR readers;'].join('\n'))
}
