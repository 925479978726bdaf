-- -> t if a migration was ever applied here
select to_regclass('schema_migration') is not null
