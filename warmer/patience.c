#include "warmer/patience.h"

enum { PAUSE_MAX_SECONDS = 8 };

int patience_seconds(int vain, int limit)
{
    int waited = 0, pause = 0;
    for (int i = 2; i <= vain; i++) {
        pause = pause == 0 ? 1 : pause * 2 > PAUSE_MAX_SECONDS ? PAUSE_MAX_SECONDS : pause * 2;
        waited += pause;
        if (waited > limit)
            return -1;
    }
    return pause;
}
