#import <Foundation/Foundation.h>

#include "ropewalk-gnustep/src/attachment.h"

#include "ropewalk-gnustep/src/lib.rs.h"

@interface RopewalkWatcher : NSObject <RunLoopEvents> {
    const ropewalk::Host *host;
    NSTimer *timer;
    BOOL watching;
    BOOL over;
}
- (id)initWithHost:(const ropewalk::Host *)given;
- (void)turn;
- (void)setWatching:(BOOL)wanted;
- (void)setTimer:(NSTimer *)next;
- (void)letGo;
- (BOOL)isOver;
@end

@implementation RopewalkWatcher

- (id)initWithHost:(const ropewalk::Host *)given {
    if ((self = [super init]) != nil) {
        host = given;
        [self due:nil];
    }
    return self;
}

- (void)setWatching:(BOOL)wanted {
    if (watching == wanted) return;
    watching = wanted;
    void *descriptor = (void *)(intptr_t)host->descriptor();
    NSRunLoop *loop = [NSRunLoop currentRunLoop];
    if (wanted) {
        [loop addEvent:descriptor type:ET_RDESC watcher:self forMode:NSDefaultRunLoopMode];
    } else {
        [loop removeEvent:descriptor type:ET_RDESC forMode:NSDefaultRunLoopMode all:YES];
    }
}

- (void)setTimer:(NSTimer *)next {
    [timer invalidate];
    [timer release];
    timer = [next retain];
}

- (void)due:(NSTimer *)unused {
    [self turn];
}

- (void)receivedEvent:(void *)data
                 type:(RunLoopEventType)type
                extra:(void *)extra
              forMode:(NSString *)mode {
    [self turn];
}

- (void)turn {
    if (over) return;
    // A loop inside a callback would be told of the descriptor without end.
    [self setWatching:NO];
    const auto next = host->turn();
    switch (next.what) {
        case ropewalk::What::Busy:
            return;
        case ropewalk::What::Over:
            [self letGo];
            return;
        case ropewalk::What::Wait:
            [self setTimer:[NSTimer scheduledTimerWithTimeInterval:next.wait_ms / 1000.0
                                                            target:self
                                                          selector:@selector(due:)
                                                          userInfo:nil
                                                           repeats:NO]];
            break;
        case ropewalk::What::Watch:
            [self setTimer:nil];
            break;
    }
    [self setWatching:YES];
}

- (void)letGo {
    over = YES;
    [self setWatching:NO];
    [self setTimer:nil];
}

- (BOOL)isOver {
    return over;
}

@end

namespace ropewalk {

struct Attachment::Parts {
    explicit Parts(rust::Box<Host> given) : host(std::move(given)) {
        NSAutoreleasePool *pool = [NSAutoreleasePool new];
        watcher = [[RopewalkWatcher alloc] initWithHost:&*host];
        [pool release];
    }

    ~Parts() {
        NSAutoreleasePool *pool = [NSAutoreleasePool new];
        [watcher letGo];
        [watcher release];
        [pool release];
    }

    rust::Box<Host> host;
    RopewalkWatcher *watcher;
};

Attachment::Attachment(rust::Box<Host> host) : parts(std::make_unique<Parts>(std::move(host))) {}

Attachment::~Attachment() = default;

void Attachment::run() const {
    NSRunLoop *loop = [NSRunLoop currentRunLoop];
    while (![parts->watcher isOver]) {
        NSAutoreleasePool *pool = [NSAutoreleasePool new];
        // Timers that are due fire here; `runMode` would not come back for them.
        NSDate *limit = [loop limitDateForMode:NSDefaultRunLoopMode];
        if (![parts->watcher isOver]) {
            if (limit == nil) limit = [NSDate distantFuture];
            [loop acceptInputForMode:NSDefaultRunLoopMode beforeDate:limit];
        }
        [pool release];
    }
}

std::unique_ptr<Attachment> attach_host(rust::Box<Host> host) {
    return std::make_unique<Attachment>(std::move(host));
}

}  // namespace ropewalk
