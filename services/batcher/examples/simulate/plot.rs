//! Line plots as SVG: text and nothing else, so that a plot can be reviewed as a change.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
const COLOURS: [&str; 10] = [
    "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#7f7f7f",
    "#17becf", "#bcbd22",
];

/// One axis.
pub(crate) struct Axis {
    /// Quantity, with its unit.
    pub(crate) label: &'static str,
    /// `true` if equal distances are equal factors.
    pub(crate) logarithmic: bool,
    /// Smallest and largest value.
    pub(crate) range: (f64, f64),
}

impl Axis {
    /// Returns the position of a value on the axis, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (from, to) = self.range;
        let share = if self.logarithmic {
            (value / from).ln() / (to / from).ln()
        } else {
            (value - from) / (to - from)
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let (from, to) = self.range;
        if self.logarithmic {
            let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
            let values =
                decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)));
            return values.filter(|value| (from..=to).contains(value)).collect();
        }
        (0..=5)
            .map(|step| from + (to - from) * f64::from(step) / 5.0)
            .collect()
    }
}

/// A plot of named lines.
pub(crate) struct Plot {
    /// Text above the plot.
    pub(crate) title: String,
    /// Horizontal axis.
    pub(crate) x: Axis,
    /// Vertical axis.
    pub(crate) y: Axis,
    /// Lines: name and points.
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot {
    /// Returns the plot as an SVG file.
    pub(crate) fn svg(&self) -> String {
        let at_x = |value: f64| LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value: f64| HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
            self.title
        );
        // Writing to a string cannot fail.
        for tick in self.x.ticks() {
            let x = at_x(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#eee\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 15.0,
                number(tick)
            );
        }
        for tick in self.y.ticks() {
            let y = at_y(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#eee\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                number(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" stroke=\"black\" fill=\"none\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 10.0,
            self.x.label
        );
        let middle = (TOP + bottom) / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"14\" y=\"{middle}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 14 {middle})\">{}</text>",
            self.y.label
        );
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let path: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"1.6\"/>",
                path.join(" ")
            );
            let y = TOP + 8.0 + 17.0 * number as f64;
            let _ = writeln!(
                svg,
                "<path d=\"M{} {y}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                 <text x=\"{}\" y=\"{}\">{name}</text>",
                right + 12.0,
                right + 36.0,
                y + 4.0
            );
        }
        svg + "</svg>\n"
    }
}

/// Returns the text of a tick's value, without trailing zeros.
fn number(value: f64) -> String {
    let digits = if value.abs() >= 10.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if digits == 0 {
        text
    } else {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}
