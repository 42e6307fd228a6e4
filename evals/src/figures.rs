//! How well questions were answered, as figures from 0 to 1.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::questions::ANSWERS;

/// The figures of a set of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// How many questions there are.
    pub(crate) questions: usize,
    /// The share of questions whose first source answers them.
    pub(crate) hit_1: f64,
    /// The share of questions that one of the first three sources answers.
    pub(crate) hit_3: f64,
    /// The mean of 1 / the place of the first source that answers.
    pub(crate) mrr: f64,
    /// The normalised discounted gain of the first five, which counts sources that only help as well.
    pub(crate) ndcg: f64,
}

/// The figures of each set of questions, by its name.
pub(crate) type Table = BTreeMap<String, Figures>;

/// What the sources that one question found are worth.
pub(crate) fn of_question(found: &[String], grades: &HashMap<String, u8>) -> Figures {
    let gains: Vec<u8> = found.iter().map(|source| grades.get(source).copied().unwrap_or(0)).collect();
    let mut ideal: Vec<u8> = grades.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let place = (1_u32..).zip(&gains).find(|(_, grade)| **grade == ANSWERS).map(|(place, _)| place);
    let share = |is_hit: bool| if is_hit { 1.0 } else { 0.0 };
    Figures {
        questions: 1,
        hit_1: share(place == Some(1)),
        hit_3: share(place.is_some_and(|place| place <= 3)),
        mrr: place.map_or(0.0, |place| 1.0 / f64::from(place)),
        ndcg: discounted(&gains) / discounted(&ideal),
    }
}

fn discounted(grades: &[u8]) -> f64 {
    let gain = |(place, grade): (u32, &u8)| (f64::from(1_u32 << grade) - 1.0) / f64::from(place + 1).log2();
    (1..).zip(grades.iter().take(5)).map(gain).sum()
}

/// The means of figures.
pub(crate) fn mean(all: &[Figures]) -> Figures {
    let count = u32::try_from(all.len()).map_or(1.0, |count| f64::from(count.max(1)));
    let mean = |figure: fn(&Figures) -> f64| (all.iter().map(figure).sum::<f64>() / count * 1000.0).round() / 1000.0;
    Figures {
        questions: all.len(),
        hit_1: mean(|figures| figures.hit_1),
        hit_3: mean(|figures| figures.hit_3),
        mrr: mean(|figures| figures.mrr),
        ndcg: mean(|figures| figures.ndcg),
    }
}

/// The names of the sets in which a figure is lower than before, by more than what is rounded.
pub(crate) fn dropped(before: &Table, now: &Table) -> Vec<String> {
    let is_lower = |(name, now): (&String, &Figures)| {
        let before = before.get(name)?;
        let pairs = [(before.hit_1, now.hit_1), (before.hit_3, now.hit_3), (before.mrr, now.mrr)];
        pairs.iter().any(|(before, now)| now + 0.0015 < *before).then(|| name.clone())
    };
    now.iter().filter_map(is_lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[&str]) -> Figures {
        let grades = HashMap::from([("right".to_owned(), 2), ("helps".to_owned(), 1)]);
        of_question(&sources.iter().map(|source| (*source).to_owned()).collect::<Vec<_>>(), &grades)
    }

    #[test]
    fn the_place_of_the_first_right_source_counts() {
        assert_eq!(found(&["right", "helps"]), Figures { questions: 1, hit_1: 1.0, hit_3: 1.0, mrr: 1.0, ndcg: 1.0 });
        let second = found(&["helps", "right"]);
        assert_eq!((second.hit_1, second.hit_3, second.mrr), (0.0, 1.0, 0.5));
        assert!(second.ndcg < 1.0 && second.ndcg > found(&["x", "right"]).ndcg);
        let fourth = found(&["a", "b", "helps", "right"]);
        assert_eq!((fourth.hit_1, fourth.hit_3, fourth.mrr), (0.0, 0.0, 0.25));
        assert_eq!(found(&[]), Figures { questions: 1, ..Figures::default() });
        let mean = mean(&[second, fourth]);
        assert_eq!((mean.questions, mean.hit_3, mean.mrr), (2, 0.5, 0.375));
    }

    #[test]
    fn a_drop_of_any_figure_is_found() {
        let table = |mrr| Table::from([("all".to_owned(), Figures { mrr, ..Figures::default() })]);
        assert_eq!(dropped(&table(0.5), &table(0.5)), Vec::<String>::new());
        assert_eq!(dropped(&table(0.5), &table(0.6)), Vec::<String>::new());
        assert_eq!(dropped(&table(0.5), &table(0.49)), ["all"]);
        assert_eq!(dropped(&Table::new(), &table(0.1)), Vec::<String>::new());
    }
}
