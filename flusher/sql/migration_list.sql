-- -> version of each applied migration
select version from schema_migration order by version
