drop index appointment_booked_idx;
