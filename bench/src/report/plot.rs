//! Plots as inline SVG: latency by percentile on a logarithmic tail, and throughput over time. Colours come from
//! the page's style, so that light and dark both work; it must never name a colour of its own.

use super::units;
use crate::measure::Point;
use std::fmt::Write;

/// Lines told apart by colour; further ones begin again, dashed.
pub(crate) const COLOURS: usize = 8;
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;
/// Percentiles that the tail axis names.
const PERCENTILES: [(f64, &str); 8] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
    (0.999999, "99.9999 %"),
];

/// One line of a plot.
#[derive(Clone, Debug)]
pub struct Line<'a, P> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Drawn bolder: what the page is about.
    pub bold: bool,
    /// Its number among all lines of the page, which gives its colour.
    pub colour: usize,
    /// Its points.
    pub points: &'a [P],
}

/// A range of values on one axis, linear in whatever it is given (a logarithm for a log axis).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn x(low: f64, high: f64) -> Scale {
        Scale { low, high, from: LEFT, to: WIDTH - RIGHT }
    }

    fn y(low: f64, high: f64) -> Scale {
        Scale { low, high, from: HEIGHT - BOTTOM, to: TOP }
    }

    fn at(self, value: f64) -> f64 {
        let span = (self.high - self.low).max(1e-12);
        self.from + (value - self.low) / span * (self.to - self.from)
    }
}

/// Where a quantile stands on the tail axis: one step for each nine.
fn tail(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// Latency by percentile: the percentile axis gives each nine the same room, the latency axis each factor of ten.
/// Empty without points.
pub fn percentiles(lines: &[Line<'_, Point>]) -> String {
    let points = || lines.iter().flat_map(|line| line.points);
    let (low, high) = points().fold((f64::MAX, 0f64), |(low, high), p| (low.min(p.us), high.max(p.us)));
    if high <= 0.0 {
        return String::new();
    }
    let end = points().map(|point| tail(point.quantile)).fold(1.0, f64::max);
    let (x, y) = (Scale::x(0.0, end), Scale::y((low.max(0.01) * 0.85).log10(), (high * 1.15).log10()));
    let mut svg = open("Latency by percentile");
    for us in log_ticks(low, high) {
        rule(&mut svg, y.at(us.log10()), &units::latency(us), us.log10().fract() == 0.0);
    }
    for (quantile, name) in PERCENTILES.into_iter().filter(|(quantile, _)| tail(*quantile) <= end) {
        post(&mut svg, x.at(tail(quantile)), name);
    }
    for line in lines {
        let place = |p: &Point| (x.at(tail(p.quantile)), y.at(p.us.max(0.01).log10()));
        path(&mut svg, line, line.points.iter().map(place));
    }
    svg + "</svg>"
}

/// Records a second over the time of a run, from zero. Empty without points.
pub fn timeline(lines: &[Line<'_, f64>]) -> String {
    let high = lines.iter().flat_map(|line| line.points).copied().fold(0.0, f64::max);
    if high <= 0.0 {
        return String::new();
    }
    let step = linear_step(high);
    let y = Scale::y(0.0, high * 1.08);
    let mut svg = open("Records a second over the time of the run");
    for n in 0..=(high * 1.08 / step) as usize {
        let value = n as f64 * step;
        rule(&mut svg, y.at(value), &if n == 0 { "0".to_owned() } else { units::rate(value) }, n == 0);
    }
    let x = Scale::x(0.0, 1.0);
    for (at, name) in [(0.0, "start"), (0.25, "¼"), (0.5, "½"), (0.75, "¾"), (1.0, "end")] {
        post(&mut svg, x.at(at), name);
    }
    for line in lines {
        let slice = 1.0 / line.points.len().max(1) as f64;
        let place = |(n, per_s): (usize, &f64)| (x.at((n as f64 + 0.5) * slice), y.at(*per_s));
        path(&mut svg, line, line.points.iter().enumerate().map(place));
    }
    svg + "</svg>"
}

/// The class of line number `at`: its colour, and dashes when the colours begin again.
pub(crate) fn class(at: usize) -> String {
    let dashed = if at >= COLOURS { " dashed" } else { "" };
    format!("s{}{dashed}", at % COLOURS)
}

/// Latencies of 1, 2 and 5 times a power of ten within a range, thinned out when it is wide.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.max(0.01).log10().floor() as i32, high.log10().ceil() as i32);
    let steps: &[f64] = if last - first > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let ticks = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    ticks.filter(|us| (low * 0.85..=high * 1.15).contains(us)).collect()
}

/// A round step that gives four to ten rules.
fn linear_step(high: f64) -> f64 {
    let power = 10f64.powf((high / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| high / step <= 6.0).unwrap_or(power * 10.0)
}

fn open(label: &str) -> String {
    format!("<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")
}

/// A horizontal rule with its value.
fn rule(svg: &mut String, y: f64, name: &str, strong: bool) {
    let class = if strong { "grid strong" } else { "grid" };
    let end = WIDTH - RIGHT;
    let _ = write!(svg, "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
        LEFT - 8.0,
        y + 4.0
    );
}

/// A vertical rule with its name.
fn post(svg: &mut String, x: f64, name: &str) {
    let (top, bottom) = (TOP, HEIGHT - BOTTOM);
    let _ = write!(svg, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>");
    let anchor = if x > WIDTH - RIGHT - 12.0 { "end" } else { "middle" };
    let y = HEIGHT - BOTTOM + 20.0;
    let _ = write!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{name}</text>");
}

fn path<P>(svg: &mut String, line: &Line<'_, P>, points: impl Iterator<Item = (f64, f64)>) {
    let weight = if line.bold { " bold" } else { "" };
    let _ = write!(svg, "<path class=\"line {}{weight}\" d=\"", class(line.colour));
    for (n, (x, y)) in points.enumerate() {
        let _ = write!(svg, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
    }
    let _ = write!(svg, "\"><title>{}</title></path>", super::html::escape(line.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_has_the_same_room() {
        assert!((tail(0.9) - 1.0).abs() < 1e-9 && (tail(0.999) - 3.0).abs() < 1e-9);
        assert!(tail(1.0).is_finite());
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(log_ticks(40.0, 300.0), [50.0, 100.0, 200.0]);
        assert!(log_ticks(1.0, 1e6).len() <= 8, "a wide range is thinned out");
        for high in [1.0, 7.0, 9_999.0, 1_520_000.0] {
            let rules = high / linear_step(high);
            assert!((2.0..=10.0).contains(&rules), "{high}: {rules}");
        }
    }

    #[test]
    fn every_point_lies_inside_the_plot() {
        let points: Vec<Point> =
            [(0.0, 0.5), (0.5, 90.0), (0.9999, 1e6)].map(|(quantile, us)| Point { quantile, us }).to_vec();
        let svg = percentiles(&[Line { name: "a<b", bold: true, colour: 0, points: &points }]);
        let d = svg.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
        for pair in d.split(['M', 'L']).skip(1) {
            let (x, y) = pair.split_once(' ').unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x.parse::<f64>().unwrap()), "{pair}");
            assert!((TOP..=HEIGHT - BOTTOM).contains(&y.parse::<f64>().unwrap()), "{pair}");
        }
        assert!(svg.contains("a&lt;b"), "names are escaped");
    }

    #[test]
    fn nothing_to_plot_gives_nothing() {
        assert_eq!(percentiles(&[]), "");
        assert_eq!(timeline(&[Line { name: "a", bold: false, colour: 9, points: &[] }]), "");
    }
}
