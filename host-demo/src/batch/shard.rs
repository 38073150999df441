//! Which cases a process does: shard I of N takes every Nth of the sorted list, so that cases which lie side by side, and are often alike, spread
//! over all shards.

use std::fmt;
use std::str::FromStr;

/// As it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shard {
    /// I of N
    Of(Part),
    /// as the environment says; with a count, the index in the environment is that of the shard
    Auto(Option<usize>),
}

/// Shard `index` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub index: usize,
    pub count: usize,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected I/N with I from 0 to N-1 (0/4 is the first of four), auto, or auto/N".to_owned();
        let count = |text: &str| text.parse::<usize>().ok().filter(|&count| count > 0).ok_or_else(wrong);
        match text.split_once('/') {
            None if text == "auto" => Ok(Self::Auto(None)),
            Some(("auto", of)) => Ok(Self::Auto(Some(count(of)?))),
            Some((index, of)) => {
                let (index, count) = (index.parse().map_err(|_| wrong())?, count(of)?);
                if index < count { Ok(Self::Of(Part { index, count })) } else { Err(wrong()) }
            }
            None => Err(wrong()),
        }
    }
}

impl Shard {
    /// The part, asking `variable` for what the environment says.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Part, String> {
        let wanted = match self {
            Self::Of(part) => return Ok(part),
            Self::Auto(count) => count,
        };
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| format!("{name} is \"{text}\", not a number")),
        };
        let (slurm, indexed) = (number("SLURM_ARRAY_TASK_ID")?, number("JOB_COMPLETION_INDEX")?);
        let (name, id) = match (slurm, indexed) {
            (Some(_), Some(_)) => {
                return Err(
                    "--shard auto: both SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are set; say --shard I/N".into()
                );
            }
            (Some(id), None) => ("SLURM_ARRAY_TASK_ID", id),
            (None, Some(id)) => ("JOB_COMPLETION_INDEX", id),
            (None, None) => {
                return Err(
                    "--shard auto: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; this is no array task"
                        .into(),
                );
            }
        };
        if let Some(count) = wanted {
            return part(id, count).ok_or_else(|| {
                format!("--shard auto/{count}: {name} is {id}; indices must go from 0 to {}", count - 1)
            });
        }
        if slurm.is_none() {
            return Err("--shard auto: an indexed job does not tell its completions; say --shard auto/N".into());
        }
        let (first, step) =
            (number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0), number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1));
        let count = number("SLURM_ARRAY_TASK_COUNT")?
            .ok_or("--shard auto: SLURM_ARRAY_TASK_COUNT is not set; say --shard auto/N")?;
        let offset = id.checked_sub(first).filter(|offset| step > 0 && offset % step == 0);
        offset.and_then(|offset| part(offset / step, count)).ok_or_else(|| {
            format!(
                "--shard auto: task {id} of an array of {count} that starts at {first} in steps of {step} has holes, so its shards cannot be told; say \
                 --shard auto/N with the N of the whole array"
            )
        })
    }
}

fn part(index: usize, count: usize) -> Option<Part> {
    (index < count).then_some(Part { index, count })
}

impl Part {
    /// What this shard has of a list.
    pub fn of<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter().skip(self.index).step_by(self.count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(text: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        text.parse::<Shard>()?.resolve(variable).map(|part| part.to_string())
    }

    #[test]
    fn every_case_is_in_one_shard() {
        let all: Vec<usize> = (0..17).collect();
        let mut seen: Vec<usize> = (0..5).flat_map(|index| Part { index, count: 5 }.of(all.clone())).collect();
        seen.sort_unstable();
        assert_eq!(seen, all);
        assert!(Part { index: 4, count: 5 }.of(vec![1]).is_empty());
    }

    #[test]
    fn what_was_typed() {
        assert_eq!(auto("2/3", &[]), Ok("2/3".into()));
        for wrong in ["3/3", "-1/3", "1/0", "1", "", "auto/0", "auto/x"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_environment_says() {
        let array = |id, count, min, step| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_STEP", step),
            ]
        };
        assert_eq!(auto("auto", &array("7", "4", "1", "2")), Ok("3/4".into()));
        assert_eq!(auto("auto/8", &array("7", "2", "3", "4")), Ok("7/8".into()), "two tasks of eight done again");
        assert_eq!(auto("auto/8", &[("JOB_COMPLETION_INDEX", "0")]), Ok("0/8".into()));
        for (variables, says) in [
            (&array("7", "2", "3", "1")[..], "has holes"),
            (&[][..], "no array task"),
            (&[("JOB_COMPLETION_INDEX", "0")][..], "auto/N"),
            (&[("JOB_COMPLETION_INDEX", "0"), ("SLURM_ARRAY_TASK_ID", "0")][..], "both"),
            (&[("SLURM_ARRAY_TASK_ID", "x")][..], "not a number"),
        ] {
            let reply = auto("auto", variables).unwrap_err();
            assert!(reply.contains(says), "{reply}");
        }
        assert!(auto("auto/4", &[("JOB_COMPLETION_INDEX", "4")]).is_err());
    }
}
