/* The fence in the drop of an Arc, for ThreadSanitizer.
 *
 * Whoever counts an Arc down to zero fences before it frees. The sanitizer does
 * not model fences, and a std that is compiled with it loads the count instead;
 * other than that the drop of an Arc is compiled here and seen. So the linker
 * puts these between, and the fence acquires what was released to the word that
 * this thread counted down last. That is what the language says of a fence, and
 * less: of all words that a thread has read it is the one. */

enum { relaxed, consume, acquire, release, acq_rel, seq_cst };

void __tsan_acquire(void *word);
unsigned long __real___tsan_atomic64_fetch_sub(unsigned long *word, unsigned long by, int order);
void __real___tsan_atomic_thread_fence(int order);

static _Thread_local void *counted_down;

unsigned long __wrap___tsan_atomic64_fetch_sub(unsigned long *word, unsigned long by, int order) {
    counted_down = word;
    return __real___tsan_atomic64_fetch_sub(word, by, order);
}

void __wrap___tsan_atomic_thread_fence(int order) {
    void *word = counted_down;
    __real___tsan_atomic_thread_fence(order);
    if (word && order != relaxed && order != release) {
        counted_down = 0;
        __tsan_acquire(word);
    }
}
