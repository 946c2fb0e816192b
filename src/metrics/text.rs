//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::histogram::Histogram;

/// The media type of the format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics that is being written. Names and labels are Parlor's own
/// words, so nothing in them needs an escape.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A number that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(name, "", value);
    }

    /// The same, one for each value of a label.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) {
        self.head(name, help, "counter");
        for (of, value) in values {
            self.line(name, &format!("{{{label}=\"{of}\"}}"), value);
        }
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        self.line(name, "", value);
    }

    /// A fact, told by a label of a gauge that is always 1.
    pub fn fact(&mut self, name: &str, help: &str, label: &str, value: &'static str) {
        self.head(name, help, "gauge");
        self.line(name, &format!("{{{label}=\"{value}\"}}"), 1);
    }

    /// How values are spread.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let mut count = 0;
        for (bound, cumulated) in histogram.cumulated() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.line(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), cumulated);
            count = cumulated;
        }
        self.line(&format!("{name}_sum"), "", histogram.sum());
        // Not counted anew: it must equal the last bucket.
        self.line(&format!("{name}_count"), "", count);
    }

    /// The whole page.
    pub fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_reads_as_the_format_says() {
        let mut page = Page::default();
        page.counters("a_total", "Things.", "kind", [("x", 1), ("y", 0)]);
        let histogram = Histogram::new(&[0.5]);
        histogram.observe(0.25);
        histogram.observe(2.0);
        page.histogram("b_seconds", "Times.", &histogram);
        let expected = "# HELP a_total Things.\n# TYPE a_total counter\n\
             a_total{kind=\"x\"} 1\na_total{kind=\"y\"} 0\n\
             # HELP b_seconds Times.\n# TYPE b_seconds histogram\n\
             b_seconds_bucket{le=\"0.5\"} 1\nb_seconds_bucket{le=\"+Inf\"} 2\n\
             b_seconds_sum 2.25\nb_seconds_count 2\n";
        assert_eq!(page.finish(), expected);
    }
}
