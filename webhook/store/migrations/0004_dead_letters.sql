-- Finds and counts dead letters without reading every delivery.

CREATE INDEX delivery_dead ON delivery (incident_id) WHERE dead IS NOT NULL;
