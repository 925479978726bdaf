-- $1 int version, $2 text name: written in the transaction of the migration's last step
insert into schema_migration (version, name) values ($1::int, $2)
