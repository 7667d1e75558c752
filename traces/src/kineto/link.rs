//! Which operator launched which GPU activity.

use std::collections::HashMap;

use super::{Activity, Call};

/// What is known of an activity's origin.
#[derive(Clone, Copy, Default)]
pub(super) struct Link {
    pub(super) operator: Option<u32>,
    pub(super) launched_ps: Option<i64>,
}

/// The innermost operator around each activity's launch, else the one with its external id.
pub(super) fn operators_of(
    calls: &mut [Call],
    launches: &mut [(i64, u32, i64)],
    activities: &[Activity],
) -> Vec<Link> {
    let by_launch = innermost(calls, launches);
    let mut by_external: HashMap<i64, u32> = HashMap::with_capacity(calls.len());
    for call in calls.iter().filter(|call| call.external_id > 0) {
        by_external.entry(call.external_id).or_insert(call.operator);
    }
    activities
        .iter()
        .map(|activity| match by_launch.get(&activity.correlation) {
            Some(link) if link.operator.is_some() => *link,
            found => Link {
                // An id that repeats the correlation names the launch, not an operator.
                operator: by_external
                    .get(&activity.external_id)
                    .filter(|_| activity.external_id != activity.correlation)
                    .copied(),
                launched_ps: found.and_then(|link| link.launched_ps),
            },
        })
        .collect()
}

/// For each launch, the innermost call of its thread that is open at its time.
fn innermost(calls: &mut [Call], launches: &mut [(i64, u32, i64)]) -> HashMap<i64, Link> {
    calls.sort_by_key(|call| (call.thread, call.start_ps, std::cmp::Reverse(call.end_ps)));
    launches.sort_by_key(|&(correlation, thread, at)| (thread, at, correlation));
    let mut links = HashMap::with_capacity(launches.len());
    let mut open: Vec<&Call> = Vec::new();
    let mut next = 0;
    for &(correlation, thread, at) in launches.iter() {
        while let Some(call) = calls.get(next) {
            if (call.thread, call.start_ps) > (thread, at) {
                break;
            }
            open.retain(|outer| outer.thread == call.thread && outer.end_ps >= call.start_ps);
            open.push(call);
            next += 1;
        }
        let operator = open
            .iter()
            .rev()
            .find(|call| call.thread == thread && call.end_ps >= at)
            .map(|call| call.operator);
        links.insert(correlation, Link { operator, launched_ps: Some(at) });
    }
    links
}
