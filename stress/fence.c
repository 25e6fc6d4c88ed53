/* The fence in the drop of an Arc, for ThreadSanitizer.
 *
 * Whoever counts an Arc down to zero fences before it frees. The sanitizer does
 * not model fences, and a std that is compiled with it loads the count instead;
 * other than that the drop of an Arc is compiled here and seen. So the linker
 * puts these between, and the fence acquires what was released to the word that
 * this thread has just counted down to zero.
 *
 * The language orders after a fence what was released to any word that the
 * thread has read, up to the value that it read. This is less, as it is one word.
 * It could be more, as the sanitizer has one clock for a word, with all that was
 * released to it meanwhile: but to a count of an Arc that is zero nobody releases
 * anything. So no other word is remembered: only one that was counted from one to
 * zero, and with release alone, which leaves the acquiring to a fence. The counts
 * of desist acquire as they count, the gauges of this program order nothing. */

enum { relaxed, consume, acquire, release, acq_rel, seq_cst };

void __tsan_acquire(void *word);
unsigned long __real___tsan_atomic64_fetch_sub(unsigned long *word, unsigned long by, int order);
void __real___tsan_atomic_thread_fence(int order);

static _Thread_local void *counted_down;

unsigned long __wrap___tsan_atomic64_fetch_sub(unsigned long *word, unsigned long by, int order) {
    unsigned long before = __real___tsan_atomic64_fetch_sub(word, by, order);
    counted_down = before == 1 && by == 1 && order == release ? word : 0;
    return before;
}

void __wrap___tsan_atomic_thread_fence(int order) {
    void *word = counted_down;
    __real___tsan_atomic_thread_fence(order);
    if (word && order != relaxed && order != release) {
        counted_down = 0;
        __tsan_acquire(word);
    }
}
