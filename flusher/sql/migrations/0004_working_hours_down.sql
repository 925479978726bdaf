alter table business_settings drop column working_hours;
