-- $1 int version, $2 text name: written in the migration's own transaction
insert into schema_migration (version, name) values ($1::int, $2)
