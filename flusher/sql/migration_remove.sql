-- $1 int version
delete from schema_migration where version = $1::int
