drop table lead;
drop table business_settings;
drop table business;
