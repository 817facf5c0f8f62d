-- Every value of the last 6 hours, with the mean of the hour that ends with it:
-- fleetform query --env dev --zone ZONE --last 7h @out/dev/queries/rolling-hour.sql
SELECT * FROM (
  SELECT device_id, sampled_at,
    "battery_level", avg("battery_level") OVER last_hour AS "battery_level_hour_avg",
    "chlorine", avg("chlorine") OVER last_hour AS "chlorine_hour_avg",
    "flow_rate", avg("flow_rate") OVER last_hour AS "flow_rate_hour_avg",
    "ph", avg("ph") OVER last_hour AS "ph_hour_avg",
    "power", avg("power") OVER last_hour AS "power_hour_avg",
    "pressure", avg("pressure") OVER last_hour AS "pressure_hour_avg",
    "signal_strength", avg("signal_strength") OVER last_hour AS "signal_strength_hour_avg",
    "temperature", avg("temperature") OVER last_hour AS "temperature_hour_avg",
    "turbidity", avg("turbidity") OVER last_hour AS "turbidity_hour_avg",
    "vibration", avg("vibration") OVER last_hour AS "vibration_hour_avg"
  FROM samples
  WINDOW last_hour AS (PARTITION BY device_id ORDER BY sampled_at RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)
)
WHERE sampled_at >= current_timestamp - INTERVAL '6' HOUR
ORDER BY device_id, sampled_at DESC
