-- Mean and maximum of every number by device and hour:
-- fleetform query --env dev --zone ZONE --last 24h @out/dev/queries/hourly.sql
SELECT device_id, date_trunc('hour', sampled_at) AS hour,
  avg("battery_level") AS "battery_level_avg", max("battery_level") AS "battery_level_max",
  avg("chlorine") AS "chlorine_avg", max("chlorine") AS "chlorine_max",
  avg("flow_rate") AS "flow_rate_avg", max("flow_rate") AS "flow_rate_max",
  avg("ph") AS "ph_avg", max("ph") AS "ph_max",
  avg("power") AS "power_avg", max("power") AS "power_max",
  avg("pressure") AS "pressure_avg", max("pressure") AS "pressure_max",
  avg("signal_strength") AS "signal_strength_avg", max("signal_strength") AS "signal_strength_max",
  avg("temperature") AS "temperature_avg", max("temperature") AS "temperature_max",
  avg("turbidity") AS "turbidity_avg", max("turbidity") AS "turbidity_max",
  avg("vibration") AS "vibration_avg", max("vibration") AS "vibration_max"
FROM samples
GROUP BY device_id, date_trunc('hour', sampled_at)
ORDER BY hour DESC, device_id
