//! Figures: medians, an aligned table, JSON.

use serde_json::{Value, json};

/// One thing measured several times, with what it is compared with.
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub samples: Vec<f64>,
    /// What is aimed at, in the unit, or as a ratio to `floor`.
    pub aim: Option<f64>,
    /// The figure it is divided by, and its samples.
    pub floor: Option<(String, Vec<f64>)>,
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

impl Figure {
    /// Ratio to the floor: the median of the ratios of pairs measured one after the other.
    fn ratio(&self) -> Option<f64> {
        let (_, floor) = self.floor.as_ref()?;
        let pairs: Vec<f64> = self.samples.iter().zip(floor).map(|(sample, floor)| sample / floor).collect();
        Some(median(&pairs))
    }

    fn met(&self) -> Option<bool> {
        Some(self.ratio().unwrap_or_else(|| median(&self.samples)) <= self.aim?)
    }

    fn range(&self) -> (f64, f64) {
        let least = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.samples.iter().copied().fold(0.0, f64::max))
    }

    fn cells(&self) -> [String; 7] {
        let (least, most) = self.range();
        let floor = self.floor.as_ref().map(|(_, samples)| format!("{:.1}", median(samples)));
        [
            self.name.clone(),
            format!("{:.1} {}", median(&self.samples), self.unit),
            format!("{least:.1} to {most:.1}"),
            floor.unwrap_or_default(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.aim.map(|aim| format!("{aim}")).unwrap_or_default(),
            self.met().map(|met| if met { "met" } else { "missed" }.to_owned()).unwrap_or_default(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "median": median(&self.samples), "samples": self.samples,
            "floor": self.floor.as_ref().map(|(name, samples)| {
                json!({"name": name, "median": median(samples), "samples": samples})
            }),
            "ratio": self.ratio(), "aim": self.aim, "met": self.met(),
        })
    }
}

pub fn table(figures: &[Figure]) -> String {
    let head = ["measured", "median", "range", "floor", "ratio", "aim", ""].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(
                |(n, cell)| {
                    if n == 0 { format!("{cell:<0$}", widths[n]) } else { format!("{cell:>0$}", widths[n]) }
                },
            )
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

pub fn json(figures: &[Figure]) -> String {
    json!({ "figures": figures.iter().map(Figure::json).collect::<Vec<_>>() }).to_string()
}
