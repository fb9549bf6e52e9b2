//! The text that Prometheus reads (`OpenMetrics` 1.0).

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use ropewalk_http::{HeaderValue, IntoReply, Reply, Request, Resource, Response, header};
use ropewalk_reactor::{Gauge, Histogram, Reactor, SourceStatistics, Statistics};

use crate::loops::{Loops, Report};
use crate::process::Process;

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the metrics are called, those that protocols count by names of their own left out. Counters have
/// `_total` behind that in the text, histograms `_bucket`, `_sum` and `_count`.
pub const NAMES: [&str; 32] = [
    "ropewalk_accept_errors",
    "ropewalk_accept_pauses",
    "ropewalk_age_seconds",
    "ropewalk_certificate_days_left",
    "ropewalk_connections",
    "ropewalk_connections_ended",
    "ropewalk_connections_opened",
    "ropewalk_connections_turned_away",
    "ropewalk_datagram_bytes",
    "ropewalk_datagrams",
    "ropewalk_events",
    "ropewalk_gauge",
    "ropewalk_http_request_seconds",
    "ropewalk_http_requests",
    "ropewalk_lingering",
    "ropewalk_listeners",
    "ropewalk_log_lines_lost",
    "ropewalk_loop_lag_seconds",
    "ropewalk_pool_busy",
    "ropewalk_pool_queue",
    "ropewalk_pool_threads",
    "ropewalk_pool_wait_seconds",
    "ropewalk_received_bytes",
    "ropewalk_sent_bytes",
    "ropewalk_tasks",
    "ropewalk_timers",
    "ropewalk_turn_seconds",
    "ropewalk_turns",
    "process_cpu_seconds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_threads",
];

/// Answers with what all loops have counted; `here` is the loop on which it answers.
pub fn prometheus(loops: &Loops, here: &Reactor) -> impl Resource + use<> {
    let (loops, here) = (loops.clone(), here.clone());
    move |_: Request| -> Reply {
        let mut response = Response::new(encode(&loops.look(&here), loops.lost_lines()).into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.into_reply()
    }
}

/// What these loops have counted, and how many [lines of the log were lost](Loops::lost_lines), as Prometheus reads it.
pub fn encode(reports: &[Report], lost_lines: u64) -> String {
    let mut registry = Registry::default();
    let page = Page { reports: reports.to_vec(), process: Process::now(), lost_lines };
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    // A string takes all that is written to it.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Page {
    reports: Vec<Report>,
    process: Process,
    lost_lines: u64,
}

/// Names and values of labels.
type Labels = Vec<(&'static str, String)>;

impl Page {
    /// A metric of each loop, with labels beside the loop's own.
    fn family<I>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: MetricType,
        of: impl Fn(&Report) -> I,
    ) -> fmt::Result
    where
        I: IntoIterator<Item = (Labels, f64)>,
    {
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for report in &self.reports {
            for (mut labels, value) in of(report) {
                labels.push(("loop", report.number.to_string()));
                let mut one = metric.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => {
                        one.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                    }
                    _ => one.encode_gauge(&value)?,
                }
            }
        }
        Ok(())
    }

    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&Report) -> &Histogram,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for report in &self.reports {
            let labels: Labels = vec![("loop", report.number.to_string())];
            let histogram = of(report);
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                histogram.sum().as_secs_f64(),
                histogram.count(),
                &buckets(histogram),
                None,
            )?;
        }
        Ok(())
    }
}

/// Always the same buckets, each twice as wide as the one before, from 16 µs to 17 s: as Prometheus wants
/// them to be comparable.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let bounds = (4..=24).map(|power| Duration::from_nanos(1024 << power));
    let mut buckets: Vec<(Duration, u64)> = bounds.map(|bound| (bound, 0)).collect();
    buckets.push((Duration::MAX, 0));
    for (end, count) in histogram.classes() {
        let fits = buckets.iter_mut().find(|(bound, _)| end <= *bound);
        if let Some((_, counted)) = fits {
            *counted += count;
        }
    }
    let seconds =
        |bound: Duration| if bound == Duration::MAX { f64::INFINITY } else { bound.as_secs_f64() };
    buckets.into_iter().map(|(bound, count)| (seconds(bound), count)).collect()
}

/// A number of a loop that has no labels of its own.
type Pick = fn(&Statistics) -> u64;

/// Those that there are.
const SINGLES: [(&str, &str, MetricType, Pick); 14] = {
    use MetricType::{Counter, Gauge};
    [
        ("ropewalk_accept_errors", "Accepting failed", Counter, |s| s.accept_errors),
        ("ropewalk_accept_pauses", "Accepting paused for want of descriptors", Counter, |s| {
            s.accept_pauses
        }),
        ("ropewalk_connections_turned_away", "Connections without a protocol", Counter, |s| {
            s.turned_away
        }),
        ("ropewalk_datagrams", "Datagrams received", Counter, |s| s.datagrams),
        ("ropewalk_datagram_bytes", "Bytes in them", Counter, |s| s.datagram_bytes),
        ("ropewalk_listeners", "Places where it listens", Gauge, |s| s.census.listeners as u64),
        ("ropewalk_lingering", "Closed connections that wait for their peers", Gauge, |s| {
            s.census.lingering as u64
        }),
        ("ropewalk_timers", "Timers", Gauge, |s| s.census.timers as u64),
        ("ropewalk_tasks", "Tasks", Gauge, |s| s.census.tasks as u64),
        ("ropewalk_pool_threads", "Threads in the pool", Gauge, |s| s.census.threads as u64),
        ("ropewalk_pool_busy", "Threads that are at a job", Gauge, |s| s.pool_busy),
        ("ropewalk_pool_queue", "Jobs that wait for a thread", Gauge, |s| s.pool_queue),
        ("ropewalk_turns", "Turns of the loop", Counter, |s| s.turns),
        ("ropewalk_age_seconds", "How old the loop is", Gauge, |s| s.age.as_secs()),
    ]
};

/// A number of what came by one listener and speaks one protocol.
type PickSource = fn(&SourceStatistics) -> u64;

const OF_SOURCES: [(&str, &str, MetricType, PickSource); 4] = {
    use MetricType::{Counter, Gauge};
    [
        ("ropewalk_connections", "Connections that are there", Gauge, |s| s.open),
        ("ropewalk_connections_opened", "Connections that there have been", Counter, |s| s.opened),
        ("ropewalk_received_bytes", "Bytes received", Counter, |s| s.received),
        ("ropewalk_sent_bytes", "Bytes handed on to be sent", Counter, |s| s.sent),
    ]
};

/// Numbers that have a name each, as values of this label.
fn named(label: &'static str, numbers: &[(&'static str, u64)]) -> Vec<(Labels, f64)> {
    let one =
        |(name, count): &(&'static str, u64)| (vec![(label, (*name).to_owned())], *count as f64);
    numbers.iter().map(one).collect()
}

impl Page {
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, kind, pick) in OF_SOURCES {
            self.family(encoder, name, help, kind, |report| {
                let one = |source: &SourceStatistics| {
                    let labels = vec![
                        ("listener", source.listener.clone()),
                        ("protocol", source.protocol.clone()),
                    ];
                    (labels, pick(source) as f64)
                };
                report.statistics.sources.iter().map(one).collect::<Vec<_>>()
            })?;
        }
        let help = "Connections that ended, by cause";
        self.family(encoder, "ropewalk_connections_ended", help, MetricType::Counter, |report| {
            named("cause", &report.statistics.ended)
        })?;
        let help = "What protocols count, such as TLS handshakes";
        self.family(encoder, "ropewalk_events", help, MetricType::Counter, |report| {
            named("event", &report.statistics.counts)
        })
    }

    fn probes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = since_1970().as_secs_f64();
        let help = "Days for which certificates are still good";
        self.family(
            encoder,
            "ropewalk_certificate_days_left",
            help,
            MetricType::Gauge,
            |report| {
                let ends =
                    report.statistics.gauges.iter().filter(|gauge| gauge.name == CERTIFICATE);
                let left = |end: f64| ((end - now) / 86_400.0).max(0.0);
                let one = |gauge: &Gauge| (vec![("names", gauge.of.clone())], left(gauge.value));
                ends.map(one).collect::<Vec<_>>()
            },
        )?;
        self.family(encoder, "ropewalk_gauge", "What probes tell", MetricType::Gauge, |report| {
            let others = report.statistics.gauges.iter().filter(|gauge| gauge.name != CERTIFICATE);
            let one = |gauge: &Gauge| {
                (vec![("name", gauge.name.to_owned()), ("of", gauge.of.clone())], gauge.value)
            };
            others.map(one).collect::<Vec<_>>()
        })
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "HTTP requests answered, by status";
        self.family(encoder, "ropewalk_http_requests", help, MetricType::Counter, |report| {
            let classes = report.requests.by_class.iter().enumerate().skip(1);
            let label = |class: usize| vec![("status", format!("{class}xx"))];
            classes.map(|(class, count)| (label(class), *count as f64)).collect::<Vec<_>>()
        })?;
        let help = "From a request's head to its answer's end";
        self.histogram(encoder, "ropewalk_http_request_seconds", help, |r| &r.requests.took)
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};

        let Process { resident, descriptors, cpu, threads } = self.process;
        let lost = "Lines of the log that could not be written";
        for (name, help, kind, value) in [
            ("ropewalk_log_lines_lost", lost, Counter, self.lost_lines as f64),
            ("process_cpu_seconds", "Time on a processor", Counter, cpu.as_secs_f64()),
            ("process_resident_memory_bytes", "Memory that it has", Gauge, resident as f64),
            ("process_open_fds", "Descriptors that are open", Gauge, descriptors as f64),
            ("process_threads", "Threads of the process", Gauge, threads as f64),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            match kind {
                Counter => {
                    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                }
                _ => metric.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.connections(encoder)?;
        for (name, help, kind, pick) in SINGLES {
            self.family(encoder, name, help, kind, |report| {
                [(Vec::new(), pick(&report.statistics) as f64)]
            })?;
        }
        self.probes(encoder)?;
        self.requests(encoder)?;
        let help = "How long a turn of the loop takes";
        self.histogram(encoder, "ropewalk_turn_seconds", help, |r| &r.statistics.turn_time)?;
        let help = "How late what was due has its turn";
        self.histogram(encoder, "ropewalk_loop_lag_seconds", help, |r| &r.statistics.lag)?;
        let help = "How long jobs wait for a thread";
        self.histogram(encoder, "ropewalk_pool_wait_seconds", help, |r| &r.statistics.pool_waits)?;
        self.process(encoder)
    }
}

/// The gauge by which places with TLS tell when their certificates end, in seconds since 1970.
const CERTIFICATE: &str = "certificate_not_after_seconds";

fn since_1970() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "certificates end by the time of day")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
