-- When a business takes appointments, by the day of its own week: {"mon": [["09:00", "18:00"]], "sat": []}, in its
-- own time zone. Null: not said. Nullable and without a default, so the table is not rewritten.
alter table business_settings add column working_hours jsonb;
