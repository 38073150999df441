//! How many cores this job really has.

/// OMP_NUM_THREADS says it, where it is set; else the fewest that affinity, cgroup and Slurm allow.
pub fn threads(variable: impl Fn(&str) -> Option<String>) -> u32 {
    let number = |name: &str| {
        variable(name).and_then(|text| text.split(',').next()?.trim().parse().ok()).filter(|&count: &u32| count > 0)
    };
    // affinity and cgroup quotas are in it
    let seen = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    number("OMP_NUM_THREADS").unwrap_or_else(|| number("SLURM_CPUS_PER_TASK").map_or(seen, |granted| granted.min(seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_is_used() {
        let with =
            |name: &'static str, value: &'static str| threads(move |asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(with("OMP_NUM_THREADS", "3"), 3);
        assert_eq!(with("SLURM_CPUS_PER_TASK", "1"), 1);
        assert!(with("SLURM_CPUS_PER_TASK", "100000") < 100_000, "no more than there are");
        assert_eq!(with("OMP_NUM_THREADS", "none"), threads(|_| None));
    }
}
