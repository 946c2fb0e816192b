//! The results as pictures: groups of bars on a logarithmic scale, because the servers
//! are a hundred times apart. Written by hand, so that no library is needed; the colours
//! stand on a light page and on a dark one, and the text follows the reader's scheme.

use std::fmt::Write as _;

use super::figures::number;
use super::results::{Cell, Results, Round, Spread, Subject};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 400.0;
/// Room for the scale on the left, the title above, and names below.
const LEFT: f64 = 70.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 36.0;

/// One for each server, in their order.
const COLOURS: [&str; 6] = ["#e4572e", "#3b7dd8", "#2a9d6f", "#a05fd0", "#c9931a", "#8a8f98"];

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}\
    .title{font-size:15px;font-weight:600}.small{font-size:10px}\
    .grid{stroke:#8884;stroke-width:1}.range{stroke:#555;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){text{fill:#d0d7de}.range{stroke:#ccc}}";

/// A picture: named groups, each with one bar for each server.
struct Chart<'a> {
    title: &'a str,
    servers: Vec<&'a str>,
    groups: Vec<(String, Vec<Option<Spread>>)>,
}

/// All pictures with their file names.
pub fn all(results: &Results) -> Vec<(&'static str, String)> {
    let closed = |figure: fn(&Cell) -> Option<f64>| {
        move |subject: &Subject, n: usize| subject.cell(n, 0, figure)
    };
    let title = "Right answers a second by connections, model answering at once";
    let rate = by_connections(results, title, closed(|cell| Some(cell.per_second)));
    let title = "p99 in ms by connections, model answering at once";
    let tail = by_connections(results, title, closed(|cell| cell.latency_ms.map(|l| l.p99)));
    let title = "Processor ms a request by connections, all processes of the server";
    let cpu = by_connections(results, title, closed(Cell::cpu_per_1000));
    let charts = [("rate.svg", rate), ("p99.svg", tail), ("cpu.svg", cpu)];
    let charts = charts.into_iter().chain([("memory.svg", memory(results))]);
    charts.map(|(name, chart)| (name, chart.svg())).collect()
}

fn by_connections<'a>(
    results: &'a Results,
    title: &'a str,
    figure: impl Fn(&Subject, usize) -> Option<Spread>,
) -> Chart<'a> {
    let cells = results.subjects.iter().flat_map(|s| &s.rounds).flat_map(|round| &round.cells);
    let mut numbers: Vec<usize> = cells.map(|cell| cell.connections).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let bars = |n: usize| results.subjects.iter().map(|subject| figure(subject, n)).collect();
    let groups = numbers.into_iter().map(|n| (n.to_string(), bars(n))).collect();
    Chart { title, servers: servers(results), groups }
}

fn memory(results: &Results) -> Chart<'_> {
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let bars = |figure: fn(&Round) -> Option<u64>| {
        let of = |subject: &Subject| subject.each(|round| figure(round).map(mib));
        results.subjects.iter().map(of).collect()
    };
    let groups = vec![
        ("idle".into(), bars(|round| round.idle_bytes)),
        ("loaded".into(), bars(|round| round.loaded_bytes)),
        ("after 10 k sessions".into(), bars(|round| round.after_sessions.map(|a| a.bytes))),
    ];
    Chart { title: "Resident MiB, all processes of the server", servers: servers(results), groups }
}

fn servers(results: &Results) -> Vec<&str> {
    results.subjects.iter().map(|subject| subject.title.as_str()).collect()
}

impl Chart<'_> {
    fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" aria-label=\"{0}\">\n<style>{STYLE}</style>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"22\">{0} (log scale)</text>\n",
            escaped(self.title)
        );
        self.legend(&mut svg);
        if let Some(scale) = self.scale() {
            scale.grid(&mut svg);
            self.bars(&mut svg, scale);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let step = (WIDTH - LEFT) / self.servers.len().max(1) as f64;
        for (index, server) in self.servers.iter().enumerate() {
            let (x, colour) = (LEFT + step * index as f64, colour(index));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"36\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"45\">{}</text>",
                x + 14.0,
                escaped(server)
            );
        }
    }

    fn scale(&self) -> Option<Scale> {
        let bars = self.groups.iter().flat_map(|(_, bars)| bars).flatten();
        let shown = bars.filter(|bar| bar.least > 0.0);
        let ends = shown.fold((f64::MAX, f64::MIN), |(low, high), bar| {
            (low.min(bar.least), high.max(bar.most))
        });
        (ends.1 > 0.0).then(|| Scale::around(ends.0, ends.1))
    }

    fn bars(&self, svg: &mut String, scale: Scale) {
        let group = (WIDTH - LEFT) / self.groups.len().max(1) as f64;
        let width = group * 0.86 / self.servers.len().max(1) as f64;
        for (at, (name, bars)) in self.groups.iter().enumerate() {
            let start = LEFT + group * at as f64;
            let (x, y) = (start + group * 0.43, HEIGHT - 12.0);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                escaped(name)
            );
            for (index, bar) in bars.iter().enumerate() {
                let x = start + width * index as f64;
                let shown = bar.filter(|bar| bar.least > 0.0);
                shown.iter().for_each(|bar| scale.bar(svg, x, width, colour(index), *bar));
            }
        }
    }
}

/// Whole powers of ten around all figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn around(least: f64, most: f64) -> Self {
        // A bar at the very foot would not be seen.
        let low = (least * 0.9).log10().floor() as i32;
        Self { low, high: (most.log10().ceil() as i32).max(low + 1) }
    }

    fn y(self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    }

    fn grid(self, svg: &mut String) {
        for power in self.low..=self.high {
            let value = 10f64.powi(power);
            let (y, x) = (self.y(value), LEFT - 8.0);
            let label = if power < 3 { value.to_string() } else { number(value) };
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                y + 4.0
            );
        }
    }

    /// A bar, its range and its median in figures.
    fn bar(self, svg: &mut String, x: f64, width: f64, colour: &str, bar: Spread) {
        let (top, foot, middle) = (self.y(bar.median), HEIGHT - BOTTOM, x + width / 2.0);
        let (least, most) = (self.y(bar.least), self.y(bar.most));
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"{colour}\"/><line class=\"range\" x1=\"{middle:.1}\" x2=\"{middle:.1}\" \
             y1=\"{most:.1}\" y2=\"{least:.1}\"/><text class=\"small\" x=\"{middle:.1}\" \
             y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            width - 2.0,
            (foot - top).max(1.0),
            most - 4.0,
            number(bar.median)
        );
    }
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_whole_powers_of_ten_around_all_figures() {
        assert_eq!(Scale::around(20.0, 9_000.0), Scale { low: 1, high: 4 });
        assert_eq!(Scale::around(0.07, 25.0), Scale { low: -2, high: 2 });
        let scale = Scale { low: 0, high: 2 };
        assert_eq!((scale.y(100.0), scale.y(1.0)), (TOP, HEIGHT - BOTTOM));
        assert_eq!(scale.y(10.0), f64::midpoint(TOP, HEIGHT - BOTTOM));
    }

    #[test]
    fn a_server_without_a_figure_has_no_bar() {
        let groups = vec![("1".into(), vec![Spread::of([5.0, 7.0]), None])];
        let svg = Chart { title: "a < b", servers: vec!["x", "y"], groups }.svg();
        assert_eq!(svg.matches("class=\"range\"").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }
}
