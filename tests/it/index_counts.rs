//! Counts for those who oversee the recorder, on each supported database.

use optag::index::{CallRow, Departments};
use optag_core::call::{NoAudio, Outcome};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

use crate::index::{manifest, on_each};

const DAY_S: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn ages_and_expiries_are_counted_by_department_and_outcomes_by_cause() {
    on_each(async |index| {
        for (days, department) in [(0, "tax"), (0, "tax"), (1, "care"), (40, "tax"), (89, "care")] {
            index.put_recording(&manifest(days * DAY_S + 60, "12345678", "Ada", department)).await.unwrap();
        }
        let gone = manifest(5 * DAY_S, "12345678", "Ada", "tax");
        index.put_recording(&gone).await.unwrap();
        index.mark_erased(gone.call.id, WallTime::from_unix_micros(1)).await.unwrap();
        let at = WallTime::from_unix_micros(90 * DAY_S * 1_000_000);
        let text = |all: &[(&str, i64, u64)]| -> Vec<(String, i64, u64)> {
            all.iter().map(|(id, days, count)| ((*id).to_owned(), *days, *count)).collect()
        };
        let ages = index.ages(at, &Departments::All).await.unwrap();
        assert_eq!(ages, text(&[("care", 0, 1), ("care", 88, 1), ("tax", 49, 1), ("tax", 89, 2)]));
        let ages = index.ages(at, &Departments::only(["care"])).await.unwrap();
        assert_eq!(ages, text(&[("care", 0, 1), ("care", 88, 1)]));
        // A clock that went back makes no negative age.
        let ages = index.ages(WallTime::from_unix_micros(1), &Departments::only(["care"])).await.unwrap();
        assert_eq!(ages, text(&[("care", 0, 2)]));

        let next = at.plus_days(1);
        let due = index.expiring(None, next, &Departments::All).await.unwrap();
        assert_eq!(due, [("tax".to_owned(), 2)]);
        let then = index.expiring(Some(next), next.plus_days(1), &Departments::All).await.unwrap();
        assert_eq!(then, [("care".to_owned(), 1)]);
        let of_care = index.expiring(None, at.plus_days(365), &Departments::only(["care"])).await.unwrap();
        assert_eq!(of_care, [("care".to_owned(), 2)]);

        let call = |s: i64, outcome| {
            let at = WallTime::from_unix_micros(s * 1_000_000);
            CallRow { id: CallId::new_at(at), department: "tax".into(), ended_at: at, outcome }
        };
        let silent = Outcome::NoAudio(NoAudio::NoPackets);
        for row in [call(10, Outcome::Recorded), call(20, silent), call(30, silent)] {
            index.put_call(&row).await.unwrap();
        }
        let counts = index.outcome_counts(WallTime::from_unix_micros(15_000_000)).await.unwrap();
        assert_eq!(counts, [("tax".to_owned(), "no_audio".to_owned(), "no_packets".to_owned(), 2)]);
    })
    .await;
}
