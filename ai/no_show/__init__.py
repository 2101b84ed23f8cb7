"""``Appointment/$predict-no-show``: how likely a booked appointment is to be missed, and why."""
