//! The queues of a process, and how many jobs of each it runs at once.

use super::ConfigError;
use super::values::{list, no_repetition, parse};
use crate::queue::Queue;

/// How many jobs of a queue one process runs at once by default.
pub const fn default_concurrency(queue: Queue) -> usize {
    match queue {
        Queue::Activity | Queue::Progress => 256,
        Queue::ProgressBulk | Queue::Maintenance => 1,
        Queue::Likes => 16,
        Queue::Replies => 8,
    }
}

/// Reads `CAIRN_WORKER_QUEUES`, which may be empty by mistake, and `CAIRN_WORKER_CONCURRENCY`.
pub(super) fn read(queues: Option<&str>, concurrency: Option<&str>) -> Result<Vec<(Queue, usize)>, ConfigError> {
    let names: Vec<&str> = Queue::ALL.into_iter().map(Queue::name).collect();
    let find = |key: &str, name: &str| {
        Queue::from_name(name).ok_or_else(|| {
            ConfigError::new(format!("{key} names the unknown queue `{name}`; the queues are {}", names.join(", ")))
        })
    };
    let mut chosen: Vec<(Queue, usize)> = match queues {
        None => Queue::ALL.into_iter().map(|queue| (queue, default_concurrency(queue))).collect(),
        Some(blank) if blank.trim().is_empty() => {
            return Err(ConfigError::new(format!(
                "CAIRN_WORKER_QUEUES is empty: unset it for all queues, or name some of {}",
                names.join(", ")
            )));
        }
        Some(_) => list(queues, "CAIRN_WORKER_QUEUES")?
            .iter()
            .map(|name| find("CAIRN_WORKER_QUEUES", name).map(|queue| (queue, default_concurrency(queue))))
            .collect::<Result<_, _>>()?,
    };
    let mut sized: Vec<String> = Vec::new();
    for pair in list(concurrency, "CAIRN_WORKER_CONCURRENCY")? {
        let (name, n) = pair.split_once('=').unwrap_or((&pair, ""));
        let queue = find("CAIRN_WORKER_CONCURRENCY", name.trim())?;
        no_repetition(&sized, queue.name(), "CAIRN_WORKER_CONCURRENCY")?;
        sized.push(queue.name().to_owned());
        let n = parse(Some(n.trim()), "CAIRN_WORKER_CONCURRENCY", "pairs such as replies=4, from 1 to 1000", |n| {
            (1..=1000).contains(n)
        })?;
        for (chosen_queue, chosen_n) in &mut chosen {
            if *chosen_queue == queue {
                *chosen_n = n.unwrap_or(*chosen_n);
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_and_their_concurrency_are_combined() {
        let queues = read(Some("replies, likes"), Some("replies=3")).unwrap();
        assert_eq!(queues, [(Queue::Replies, 3), (Queue::Likes, default_concurrency(Queue::Likes))]);
    }
}
