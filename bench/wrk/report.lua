-- Prints wrk's own counts on one line that a program can read. Called once, after the load: it costs no request anything.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("figures: requests=%d duration_us=%d errors=%d p50_us=%d p99_us=%d\n",
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
